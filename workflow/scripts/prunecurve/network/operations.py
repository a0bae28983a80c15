"""What the operations in a network's graph do with channels: tables of modules and functions, by kind.

Kinds: norm: batch normalisation, parameters per channel. activation: each element alone. unchanged: copies values in
evaluation mode (flatten: in another shape). pool: the map of each channel alone, padding included. reduction: a mean
over some dimensions. softmax: over one dimension. pairwise: two values, element by element. concatenation, shape, item:
whole elements are moved.
"""

from torch import fx, nn

MODULES: dict[str, tuple[type[nn.Module], ...]] = {
    "norm": (nn.BatchNorm1d, nn.BatchNorm2d),
    "activation": (
        *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
        *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish),
    ),
    "pool": (
        *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.LPPool2d),
        *(nn.Upsample, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d),
    ),
    "unchanged": (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten),
    "softmax": (nn.Softmax, nn.LogSoftmax),
}
# The same as functions of torch and methods of tensors, by their names.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "activation": (
        *("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus", "sigmoid", "tanh"),
        *("hardtanh", "hardsigmoid", "hardswish", "clamp", "neg", "exp", "sqrt", "square", "abs", "pow"),
        *("log", "log1p", "logsigmoid", "softsign", "threshold"),
    ),
    "pool": (*("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "interpolate", "pad"),),
    "unchanged": (
        "dropout",
        "dropout2d",
        "flatten",
        "contiguous",
        "clone",
        "detach",
        "float",
        "to",
        "stochastic_depth",
    ),
    "reduction": ("mean", "sum", "amax", "amin"),
    "softmax": ("softmax", "log_softmax"),
    "pairwise": ("add", "sub", "mul", "truediv", "div", "maximum", "minimum"),
    "concatenation": ("cat", "concat"),
    "shape": (
        *("view", "reshape", "permute", "transpose", "swapaxes", "squeeze", "unsqueeze", "chunk", "split"),
        *("expand", "expand_as"),
    ),
    "item": ("getitem",),
}

# The key of a node's `meta` for the name that the network's code has for an operation, if the graph has another.
WRITTEN = "written as"


def kind_of(traced: fx.GraphModule, node: fx.Node) -> str | None:
    """Return the kind of an operation; None if it is in no table."""
    if node.op == "call_module":
        module = traced.get_submodule(node.target)
        return next((kind for kind, types in MODULES.items() if isinstance(module, types)), None)
    return next((kind for kind, names in FUNCTIONS.items() if name_of(node) in names), None)


def name_of(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls; empty for a module and for other nodes."""
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def described(traced: fx.GraphModule, node: fx.Node) -> str:
    """Return an operation in words, for messages: `act1 (Softmax)` or `cat`."""
    if node.op == "call_module":
        return f"{node.target} ({type(traced.get_submodule(node.target)).__name__})"
    return node.meta.get(WRITTEN) or name_of(node) or node.name
