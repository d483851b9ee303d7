"""Data for a first look: real, labelled, and at hand without a download."""

import pyarrow as pa

SAMPLE = "breast_cancer"
LABEL = "diagnosis"  # the column that says what a row really is
N_MALIGNANT = 20


def measurements() -> pa.Table:
    """All benign rows of scikit-learn's breast-cancer set and the first malignant ones, with the diagnosis."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    label = [str(found.target_names[target]) for target in found.target]
    columns = {str(name).replace(" ", "_"): found.data[:, j] for j, name in enumerate(found.feature_names)}
    rows = pa.table({**columns, LABEL: label})
    malignant = [place for place, name in enumerate(label) if name == "malignant"]
    chosen = sorted({*range(len(label))} - {*malignant[N_MALIGNANT:]})
    return rows.take(pa.array(chosen))
