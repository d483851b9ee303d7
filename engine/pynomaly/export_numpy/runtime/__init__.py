"""What an exported folder is made of: files that need numpy and Python 3.9 alone, joined to one `score.py`."""
