"""The data of the benchmarks: Gaussian columns with 1 % of the rows scaled, made by DuckDB from a fixed formula."""

from pathlib import Path

import duckdb
import numpy as np

N_COLUMNS = 10


def gaussian_sql(n_rows: int, n_columns: int = N_COLUMNS) -> str:
    """A SELECT of Gaussian columns c0.. (Box-Muller on hashes), in which every hundredth row is scaled by 4."""
    uniform = f"(hash(i * {max(64, 2 * n_columns)} + {{k}}) / 18446744073709551616.0 + 1e-12)"
    columns = (
        f"sqrt(-2 * ln({uniform.format(k=2 * j)})) * cos(2 * pi() * {uniform.format(k=2 * j + 1)})"
        f" * case when i % 100 = 0 then 4 else 1 end as c{j}"
        for j in range(n_columns)
    )
    return f"select {', '.join(columns)} from range({n_rows}) r(i)"


def parquet(folder: Path, n_rows: int, n_columns: int = N_COLUMNS) -> Path:
    """The data as a Parquet file, written once."""
    path = folder / f"gaussian_{n_rows}{'' if n_columns == N_COLUMNS else f'x{n_columns}'}.parquet"
    if not path.exists():
        with duckdb.connect() as con:
            con.execute("set enable_progress_bar = false")
            con.execute(f"copy ({gaussian_sql(n_rows, n_columns)}) to '{path}' (format parquet)")
    return path


def matrix(path: Path) -> np.ndarray:
    """A Parquet file as a float64 matrix, for the peers that want an array in memory."""
    with duckdb.connect() as con:
        columns = con.execute(f"from '{path}'").fetchnumpy()
    return np.column_stack([columns[name] for name in columns])
