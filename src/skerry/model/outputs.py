"""What the model's outputs mean: from its last layers, the labels, and what the user says of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from skerry.errors import InvalidInput
from skerry.model.convert import Converted, Head
from skerry.model.labels import fitting
from skerry.model.layers.options import activation
from skerry.model.network import Network
from skerry.package.recipe import BINARY, Label, OutputSpec

TOP_K = 5


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What the user says of an output; None where the model is asked."""

    kind: str | None = None
    labels: tuple[Label, ...] | None = None
    top_k: int | None = None
    threshold: float | None = None


def output_specs(
    network: Network,
    converted: Converted,
    labels: Callable[[int], tuple[Label, ...] | None],
    options: Mapping[str, OutputOptions],
    top_k: int | None = None,
    otherwise: Callable[[int], tuple[Label, ...] | None] = lambda _: None,
) -> tuple[OutputSpec, ...]:
    """The outputs in the order of the file.

    ``labels`` gives the main one's by its size, None without any; ``top_k`` is the main one's, and both come
    before ``options``. ``otherwise`` gives labels where nobody named any.

    InvalidInput when options are for an output that the model does not have, or labels do not fit.
    """
    names = [head.name for head in converted.heads]
    for name in options:
        if name not in names:
            raise InvalidInput(
                f"the model has no output {name!r}", hint=f"one of {', '.join(names)}", value=name
            )
    main = converted.heads[0]
    first = options.get(main.name, OutputOptions())
    named = labels(main.size) or first.labels or otherwise(main.size)
    first = replace(first, labels=named, top_k=top_k or first.top_k)
    specs = [_spec(network, main, first, needs_labels=True)]
    specs += [
        _spec(network, head, options.get(head.name, OutputOptions()), needs_labels=False)
        for head in converted.heads[1:]
    ]
    return tuple(specs)


def _spec(network: Network, head: Head, said: OutputOptions, *, needs_labels: bool) -> OutputSpec:
    kind = said.kind or _kind(network, head, said.labels)
    labels = said.labels
    if labels is None:
        if needs_labels and kind != "regression":
            fitting((), head.size, "the samples' folder (no label file given)")
        labels = _own_names(head, kind)
    if kind in BINARY and head.size != 1:
        raise InvalidInput(f"output {head.name!r} gives {head.size} numbers; {kind} is one", value=kind)
    expected = 2 if kind in BINARY else head.size
    if len(labels) != expected:
        fitting(labels, expected, f"output {head.name!r}")
    return OutputSpec(
        head.name,
        kind,
        labels,
        min(said.top_k or TOP_K, len(labels)),
        0.0 if said.threshold is None else said.threshold,
    )


def _kind(network: Network, head: Head, labels: tuple[Label, ...] | None) -> str:
    name = last_activation(network, head.node)
    if name == "softmax":
        return "softmax"
    if name == "sigmoid":
        return "binary" if head.size == 1 and (labels is None or len(labels) == 2) else "sigmoid"
    # Labels say that the numbers stand for classes; nothing says so of bare numbers.
    if labels is None:
        return "regression"
    return ("binary-logit" if len(labels) == 2 else "regression") if head.size == 1 else "logits"


def last_activation(network: Network, name: str) -> str:
    """The activation that the node's numbers come out of; ``linear`` where it has none."""
    nodes = {node.name: node for node in network.nodes}
    node = nodes[name]
    while node.kind in ("Identity", "Flatten", "Reshape", "Dropout") and node.inputs[0] in nodes:
        node = nodes[node.inputs[0]]
    if node.kind == "Softmax":
        return "softmax"
    if node.kind == "ops.Sigmoid":
        return "sigmoid"
    return activation(node) if "activation" in node.config else "linear"


def _own_names(head: Head, kind: str) -> tuple[Label, ...]:
    """Names for what nobody named: classes by number, a regression's numbers by the output's name."""
    if kind in BINARY:
        return (Label("0", f"not {head.name}"), Label("1", head.name))
    if kind == "regression":
        return tuple(
            Label(str(i), head.name if head.size == 1 else f"{head.name}.{i}") for i in range(head.size)
        )
    return tuple(Label(str(i), str(i)) for i in range(head.size))
