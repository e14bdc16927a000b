"""A real browser, headless: the UI as people use it, and the pages that commands write."""
