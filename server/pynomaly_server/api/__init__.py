"""The endpoints, one controller a noun; every controller in this package is served."""
