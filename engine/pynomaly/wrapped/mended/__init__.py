"""Classes of PyOD with a fault mended, one a file; each says which. A file is imported when its class is fitted."""
