"""Running one network on T tasks, each with weights of its own.

Ways that give the same numbers. Dense networks run all tasks in one batched matrix product, many
times faster than a loop. Convolutions on a CPU are best looped over. All else goes through `vmap`,
and through the loop where `vmap` can't follow.
"""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from course_utils.tasks.base import Tasks, share

Parameters = dict[str, Tensor]  # name -> (T, *shape)

ELEMENTWISE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Identity)


def way(network: nn.Module) -> Callable[[nn.Module, Parameters, Tensor], Tensor]:
    """The best way to run `network` on many tasks: one of those below, or its own `run_many`.

    Each maps (network, parameters, x): task t's rows x[t] go through the network with weights
    parameters[name][t], (T, n, *x) -> (T, n, *y). Parameters that are not named are the network's
    own, shared by all tasks.
    """
    if is_dense(network):
        return run_dense
    if hasattr(network, "run_many"):  # it knows a way of its own
        return type(network).run_many
    return run_convolution if holds(network, nn.modules.conv._ConvNd) else run_vmap


def run_dense(network: nn.Sequential, parameters: Parameters, x: Tensor) -> Tensor:
    """All tasks at once: a linear layer is one batched matrix product."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.Linear):
            weight = parameters.get(f"{name}.weight", layer.weight)
            bias = parameters.get(f"{name}.bias", layer.bias)
            x = linear(x, weight, bias)
        else:
            x = layer(x)
    return x


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b, where W (T, out, in) or (out, in) and b may or may not differ from task to task."""
    if weight.ndim == 2:
        return nn.functional.linear(x, weight, None) + (0 if bias is None else _per_row(bias))
    if torch.compiler.is_compiling() and weight[0].numel() <= 4096:
        # small enough for the compiler to write the product as one loop with what surrounds it
        product = (x.unsqueeze(2) * weight.unsqueeze(1)).sum(-1)
        return product if bias is None else product + _per_row(bias)
    if bias is None:
        return torch.bmm(x, weight.transpose(1, 2))
    return torch.baddbmm(_per_row(bias), x, weight.transpose(1, 2))


def _per_row(bias: Tensor) -> Tensor:
    return bias.unsqueeze(-2)  # (T, out) -> (T, 1, out); (out) -> (1, out)


def run_vmap(network: nn.Module, parameters: Parameters, x: Tensor) -> Tensor:
    """One call for all tasks: torch maps the network over their leading axis."""

    def one(own: Parameters, rows: Tensor) -> Tensor:
        return call(network, own, rows)

    try:
        return vmap(one, randomness="different")(parameters, x)
    except RuntimeError as error:  # some layers can't be mapped: recurrent ones, `if` on a tensor
        if "vmap" in str(error) or "atching rule" in str(error):
            return run_loop(network, parameters, x)
        raise


def run_loop(network: nn.Module, parameters: Parameters, x: Tensor | list[Tensor]) -> Tensor:
    """Task after task."""
    outputs = [
        call(network, {name: p[t] for name, p in parameters.items()}, rows)
        for t, rows in enumerate(x)
    ]
    return torch.stack(outputs)


def call(network: nn.Module, parameters: Parameters, x: Tensor) -> Tensor:
    """`network(x)` with these weights in place of its own, wherever it uses them."""
    places = places_of(network)
    swapped = {place: parameters[name] for place, name in places.items() if name in parameters}
    return functional_call(network, swapped, (x,), tie_weights=False)


def places_of(network: nn.Module) -> dict[str, str]:
    """Where each parameter stands -> its name, which differ for weights that are shared.

    torch's own tying (tie_weights=True, torch 2.15) leaves the stand-ins in a module that is
    registered under two names.
    """
    names: dict[int, str] = {}
    places = {}
    for prefix, module in network.named_modules():
        for place, parameter in module.named_parameters(prefix, recurse=False):
            places[place] = names.setdefault(id(parameter), place)
    return places


def run_convolution(network: nn.Module, parameters: Parameters, x: Tensor) -> Tensor:
    """A loop on the CPU, where `vmap` makes a slow grouped convolution; `vmap` on a GPU."""
    if x.is_cuda:
        return run_vmap(network, parameters, x)
    if x.ndim == 5 and is_chain(network):  # other networks may ask for the usual order
        x = [rows.to(memory_format=torch.channels_last) for rows in x]  # a faster kernel
    return run_loop(network, parameters, x)


def on_all_cores(function: Callable, learner: nn.Module, tasks: Tasks) -> list:
    """function(learner, share of the tasks) for shares of consecutive tasks, a thread for each.

    As many threads as torch may use, each computing on one core: small convolutions divided
    between cores wait for each other, whole tasks do not. A thread has a copy of the learner's
    modules around the same parameters and buffers, since running a network with other weights
    swaps them within it. Dropout, and whatever a layer of one's own may do, draws from one
    generator for all: left on one thread, it repeats with the seed.
    """
    before = torch.get_num_threads()
    threads = min(before, len(tasks))
    dropout = holds(learner.network, nn.modules.dropout._DropoutNd)
    if threads < 2 or dropout or not is_chain(learner.network):
        return [function(learner, tasks)]
    shared = {id(t): t for t in (*learner.parameters(), *learner.buffers())}
    learners = [copy.deepcopy(learner, shared.copy()) for _ in range(threads)]
    own = [share(len(tasks), t, threads) for t in range(threads)]
    shares = [tasks.part(s.start, s.stop) for s in own]
    precision = {  # each thread has an autocast of its own
        "dtype": torch.get_autocast_dtype("cpu"),
        "enabled": torch.is_autocast_enabled("cpu"),
    }

    def on_one_core(learner: nn.Module, part: Tasks):
        torch.set_num_threads(1)
        with torch.autocast("cpu", **precision):
            return function(learner, part)

    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(on_one_core, learners, shares))
    finally:
        torch.set_num_threads(before)


def is_chain(network: nn.Module) -> bool:
    """Whether `network` is a plain chain of torch's own layers."""
    return (
        isinstance(network, nn.Sequential)
        and type(network).forward is nn.Sequential.forward
        and all(type(m).__module__.startswith("torch.nn.") for m in list(network.modules())[1:])
    )


def is_dense(network: nn.Module) -> bool:
    """Whether `network` is a plain chain of linear layers and elementwise functions."""
    return (
        is_chain(network)
        and all(type(layer) is nn.Linear or type(layer) in ELEMENTWISE for layer in network)
        # no layer or weight used twice, nothing hooked in
        and len(list(network.children())) == len(network)
        and len(list(network.parameters())) == len(network.state_dict())
        and not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    )


def holds(network: nn.Module, kind: type) -> bool:
    """Whether any module of `network` is of this kind."""
    return any(isinstance(module, kind) for module in network.modules())
