"""The detectors of PyOD that are neural networks; they need torch."""

from pynomaly.wrapped.parameters import DISTANCE, MANY, Field, choice, flag, integer, number
from pynomaly.wrapped.row import Row

LAYERS = "the widths of the layers are lists"
TORCH = ("torch",)
BLOCK = 256  # rows that are scored together
QUICK = 0  # cells: training takes seconds for any table
ACTIVATIONS = ("relu", "elu", "leaky_relu", "sigmoid", "softplus", "tanh", "identity")


def _activation(name: str, default: str, what: str) -> Field:
    return choice(name, default, what, default, *(word for word in ACTIVATIONS if word != default))


def _epochs(name: str, default: int) -> Field:
    return integer(name, default, "Number of passes over the rows", 1, MANY)


BATCH = integer("batch_size", 32, "Rows of a training step", 2, MANY)
DROPOUT = number("dropout_rate", 0.2, "Share of the neurons left out of a training step", 0.99, low=0.0)
STANDARDISED = flag("preprocessing", True, "Scale the columns to mean 0 and variance 1 first")
AS_THEY_ARE = flag("preprocessing", False, "Scale the columns to mean 0 and variance 1 first")


def _rate(name: str, default: float, what: str = "Step of the optimiser") -> Field:
    return number(name, default, what, 10.0, above=0.0)


TRAINING = (
    STANDARDISED,
    _rate("lr", 0.001),
    BATCH,
    choice("optimizer_name", "adam", "Optimiser", "adam", "sgd"),
    DROPOUT,
    _activation("hidden_activation_name", "relu", "Activation of the hidden layers"),
)
TRAINING_LEFT_OUT = {"optimizer_params": "options of the optimiser, by its name"}
GENERATORS = (
    integer("stop_epochs", 20, "Passes in which the generator learns too; there are three times as many", 1, MANY),
    _rate("lr_d", 0.01, "Step of the discriminator"),
    _rate("lr_g", 0.0001, "Step of the generator"),
    number("momentum", 0.9, "Momentum of both", 0.999, low=0.0),
)

NETWORKS = (
    Row(
        name="pyod_auto_encoder",
        target="pyod.models.auto_encoder.AutoEncoder",
        summary="Error of an autoencoder: how far a row is from what the network makes of it",
        family="neural network",
        reference="Aggarwal 2017",
        complexity="O(epoch_num * d * n)",
        deterministic=False,
        quick_cells=QUICK,
        parameters=(
            _epochs("epoch_num", 10),
            *TRAINING,
            flag("batch_norm", True, "Standardise each layer's input in a training step"),
        ),
        constants={"verbose": 0},
        left_out={**TRAINING_LEFT_OUT, "hidden_neuron_list": LAYERS},
        needs=("torch", "tqdm"),
        at_most={"batch_size": 0},  # it trains on whole batches only
        scored_in=BLOCK,
        max_rows=20_000,
        limit_reason="it learns from every row in each of its passes",
    ),
    Row(
        name="pyod_vae",
        target="pynomaly.wrapped.mended.vae.VAE",
        summary="Error of a variational autoencoder",
        family="neural network",
        reference="Kingma & Welling 2014",
        complexity="O(epoch_num * d * n)",
        deterministic=False,
        quick_cells=QUICK,
        parameters=(
            _epochs("epoch_num", 30),
            *TRAINING,
            flag("batch_norm", False, "Standardise each layer's input in a training step"),
            number("beta", 1.0, "Weight of the distance of the codes from a normal law", 1e6, low=0.0),
            number("capacity", 0.0, "Largest distance of the codes from a normal law that counts", 1e6, low=0.0),
            integer("latent_dim", 2, "Length of a code", 1, 10_000),
            _activation("output_activation_name", "identity", "Activation of the last layer"),
        ),
        constants={"verbose": 0},
        left_out={
            **TRAINING_LEFT_OUT,
            "encoder_neuron_list": LAYERS,
            "decoder_neuron_list": LAYERS,
            "logvar_clip": "a pair of numbers that keeps an exponential from overflowing",
        },
        needs=("torch", "tqdm"),
        at_most={"batch_size": 0},
        scored_in=BLOCK,
        max_rows=20_000,
        limit_reason="it learns from every row in each of its passes",
    ),
    Row(
        name="pyod_deep_svdd",
        target="pyod.models.deep_svdd.DeepSVDD",
        summary="Distance to the centre of the rows' images under a network that draws them together",
        family="neural network",
        reference="Ruff et al. 2018",
        complexity="O(epochs * d * n)",
        deterministic=False,
        quick_cells=QUICK,
        parameters=(
            _epochs("epochs", 100),
            STANDARDISED,
            _rate("learning_rate", 1e-4),
            BATCH,
            choice(
                "optimizer",
                "adam",
                "Optimiser",
                "adam",
                "adamw",
                "adagrad",
                "adadelta",
                "nadam",
                "rmsprop",
                "sgd",
                "asgd",
            ),
            DROPOUT,
            _activation("hidden_activation", "relu", "Activation of the hidden layers"),
            number("l2_regularizer", 5e-7, "Weight of the squared weights", 1.0, low=0.0),
        ),
        constants={"verbose": 0},
        left_out={
            "n_features": "counted",
            "c": "the centre, found in the rows",
            "hidden_neurons": LAYERS,
            "use_ae": "PyOD's decoder needs more columns than neurons",
            "output_activation": "belongs to use_ae",
            "validation_size": "PyOD does not use it",
        },
        needs=TORCH,
        scored_in=BLOCK,
        max_rows=20_000,
        limit_reason="it learns from every row in each of its passes",
    ),
    Row(
        name="pyod_ae1svm",
        target="pynomaly.wrapped.mended.networks.AE1SVM",
        summary="Error of an autoencoder trained together with a one-class support vector machine",
        family="neural network",
        reference="Nguyen & Vien 2018",
        complexity="O(epochs * d * n)",
        deterministic=False,
        quick_cells=QUICK,
        parameters=(
            _epochs("epochs", 50),
            STANDARDISED,
            _rate("learning_rate", 0.001),
            BATCH,
            DROPOUT,
            _activation("hidden_activation", "relu", "Activation of the layers"),
            flag("batch_norm", True, "Standardise each layer's input in a training step"),
            number("weight_decay", 1e-5, "Weight of the squared weights", 1.0, low=0.0),
            number("alpha", 1.0, "Weight of the autoencoder's error", 1e6, low=0.0),
            number("sigma", 1.0, "Scale of the random features", 1e6, above=0.0),
            integer("kernel_approx_features", 1000, "Number of random features that stand for the kernel", 1, MANY),
        ),
        left_out={"hidden_neurons": LAYERS, "loss_fn": "an object of Python", "nu": "PyOD does not use it"},
        needs=TORCH,
        prints_in="pyod.models.ae1svm",
        scored_in=BLOCK,
        max_rows=10_000,
        limit_reason="it learns from every row in each of its passes",
    ),
    Row(
        name="pyod_alad",
        target="pynomaly.wrapped.mended.alad.ALAD",
        summary="How well the discriminator of a bidirectional generative network tells a row from its image",
        family="neural network",
        reference="Zenati, Romain, Foo, Lecouat & Chandrasekhar 2018",
        complexity="O(epochs * d * batch_size + d * n)",
        deterministic=False,
        quick_cells=QUICK,
        parameters=(
            integer("epochs", 200, "Number of training steps, each on one batch", 1, MANY),
            AS_THEY_ARE,
            _rate("learning_rate_gen", 0.0001, "Step of the generator"),
            _rate("learning_rate_disc", 0.0001, "Step of the discriminator"),
            BATCH,
            DROPOUT,
            choice("activation_hidden_gen", "tanh", "Activation of the generator", "tanh", "sigmoid", "relu"),
            choice("activation_hidden_disc", "tanh", "Activation of the discriminator", "tanh", "sigmoid", "relu"),
            integer("latent_dim", 2, "Length of a code", 1, 10_000),
            flag("add_recon_loss", False, "Add the error of the reconstruction to the generator's loss"),
            number("lambda_recon_loss", 0.1, "Its weight", 1e6, low=0.0),
            flag("add_disc_zz_loss", True, "Let a discriminator of the codes learn too"),
            flag("spectral_normalization", False, "Bound the slope of the discriminators"),
        ),
        left_out={
            **dict.fromkeys(("dec_layers", "enc_layers", "disc_xx_layers", "disc_zz_layers", "disc_xz_layers"), LAYERS),
            "output_activation": "the columns have no common range",
        },
        needs=("torch", "pandas"),
        caveat="two pairs of networks compete, and far rows need not stand out in what they settle on",
        scored_in=BLOCK,
    ),
    Row(
        name="pyod_anogan",
        target="pyod.models.anogan.AnoGAN",
        summary="How far a row is from what a generative network can make",
        family="neural network",
        reference="Schlegl, Seeboeck, Waldstein, Schmidt-Erfurth & Langs 2017",
        complexity="O((epochs + epochs_query) * d * n)",
        deterministic=False,
        quick_cells=QUICK,
        parameters=(
            _epochs("epochs", 500),
            integer("epochs_query", 20, "Steps of the search for a row's code", 1, MANY),
            AS_THEY_ARE,
            _rate("learning_rate", 0.001),
            _rate("learning_rate_query", 0.01, "Step of the search for a row's code"),
            BATCH,
            DROPOUT,
            _activation("activation_hidden", "tanh", "Activation of the hidden layers"),
            integer("latent_dim_G", 2, "Length of a code", 1, 10_000),
        ),
        left_out={
            "G_layers": LAYERS,
            "D_layers": LAYERS,
            "index_D_layer_for_recon_error": "PyOD does not use it",
            "output_activation": "the columns have no common range",
        },
        max_rows=1_000,
        limit_reason="each of its 500 passes trains on every row, and it then searches a code for each",
        needs=("torch", "pandas"),
    ),
    Row(
        name="pyod_so_gaal",
        target="pynomaly.wrapped.mended.networks.SO_GAAL",
        summary="Discriminator trained against one generator of artificial outliers",
        family="neural network",
        reference="Liu, Li, Zhou, Jiang, Sun, Wang & He 2020",
        complexity="O(stop_epochs * d * n)",
        deterministic=False,
        quick_cells=QUICK,
        parameters=GENERATORS,
        needs=TORCH,
        prints_in="pyod.models.so_gaal",
        scored_in=BLOCK,
        max_rows=150_000,
        limit_reason="it learns from every row in each of its passes",
    ),
    Row(
        name="pyod_mo_gaal",
        target="pynomaly.wrapped.mended.networks.MO_GAAL",
        summary="Discriminator trained against several generators of artificial outliers",
        family="neural network",
        reference="Liu, Li, Zhou, Jiang, Sun, Wang & He 2020",
        complexity="O(stop_epochs * k * d * n)",
        deterministic=False,
        quick_cells=QUICK,
        parameters=(integer("k", 10, "Number of generators", 1, 1000), *GENERATORS),
        needs=TORCH,
        prints_in="pyod.models.mo_gaal",
        scored_in=BLOCK,
        max_rows=20_000,
        limit_reason="it scores every row after each step of its training",
    ),
    Row(
        name="pyod_lunar",
        target="pyod.models.lunar.LUNAR",
        summary="Weighted mean of the distances to the nearest rows, the weights learnt against artificial outliers",
        family="neural network",
        reference="Goodge, Hooi, Ng & Ng 2022",
        complexity="O(n_epochs * n + d * n * log(n)) with few columns, O(d * n^2) with many",
        deterministic=False,
        quick_cells=QUICK,
        parameters=(
            choice(
                "model_type", "WEIGHT", "Whether the network weighs the distances or scores them", "WEIGHT", "SCORE"
            ),
            integer("n_neighbours", 5, "Number of neighbours", 1, MANY),
            choice("negative_sampling", "MIXED", "How artificial outliers are drawn", "MIXED", "SUBSPACE", "UNIFORM"),
            number("val_size", 0.1, "Share of the rows that chooses the best pass", 0.9, above=0.0),
            number("epsilon", 0.1, "Spread of the artificial outliers around rows", 1e6, above=0.0),
            number("proportion", 1.0, "Artificial outliers for each row", 100.0, above=0.0),
            _epochs("n_epochs", 200),
            _rate("lr", 0.001),
            number("wd", 0.1, "Weight of the squared weights", 10.0, low=0.0),
            *DISTANCE,
        ),
        left_out={"scaler": "the columns are scaled to [0, 1], as the default is"},
        needs=TORCH,
        scored_in=BLOCK,
        max_rows=10_000,
        limit_reason="it learns from every row in each of its passes",
    ),
    Row(
        name="pyod_dif",
        target="pyod.models.dif.DIF",
        summary="Isolation forests in the images of the rows under random networks",
        family="neural network",
        reference="Xu, Pang, Wang & Wang 2023",
        complexity="O(n_ensemble * n_estimators * max_samples * n)",
        deterministic=False,
        quick_cells=QUICK,
        parameters=(
            integer("n_ensemble", 50, "Number of random networks", 1, 10_000),
            integer("n_estimators", 6, "Number of trees for each network", 1, 10_000),
            integer("max_samples", 256, "Rows drawn for each tree", 2, 262_144),
            integer("representation_dim", 20, "Length of a row's image", 1, 10_000),
            _activation("hidden_activation", "tanh", "Activation of the hidden layers"),
            flag("skip_connection", False, "Pass the columns to every layer"),
            integer("batch_size", 1000, "Rows that pass through a network together", 1, MANY),
        ),
        left_out={"hidden_neurons": LAYERS},
        scores_new_rows=False,
        max_rows=10_000,
        limit_reason="it visits every row in every node of its 300 trees, and scales each batch by itself",
        needs=TORCH,
    ),
)
