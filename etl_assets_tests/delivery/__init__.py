"""Tests of feeds: files, destinations, deliveries."""
