"""Accounts: users, sign-ins, tokens, API keys and links, in a file of their own that no SQL of a user reaches."""

from pynomaly_server.accounts.accounts import Accounts

__all__ = ["Accounts"]
