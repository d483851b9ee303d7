"""Classes of PyOD with a fault mended. A file is imported when one of its classes is fitted, and so what it needs."""
