"""The pages, one controller a noun; every controller in this package is served."""
