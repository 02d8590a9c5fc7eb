"""Faulty versions of a kernel, to see whether its tests notice."""

import ast
import copy
import inspect
import textwrap
import types

_SWAPS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.USub: ast.UAdd,
}
_ORDERED = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift)


def mutants(function):
    """Yield versions of a function with one fault each.

    The faults: a comparison off by one or inverted, another arithmetic, bitwise or logical operator, operands
    the wrong way round, a guard that is always taken, a constant off by one, a call for its effect left out
    (such as a barrier).

    Parameters
    ----------
    function : function
        Plain, or one that ``@cuda.jit`` has decorated. Its source must be at hand.

    Yields
    ------
    description : str
        Line, what was there and what is there now.
    mutant : function
        Plain and without the decorators; decorate it as the original was. Some may not end, or read out of
        bounds: run them in the simulator, with a time limit. Some are equal to the original in what they do;
        no test can tell those.

    Raises
    ------
    OSError
        If there is no source.

    Examples
    --------
    >>> from kernels.testing import map_bound, mutants
    >>> for text, faulty in mutants(map_bound):
    ...     verdict = "survives" if faulty(2, 2.0, "float32") == 2**-21 else "killed"
    ...     print(verdict, text.partition(": ")[2])
    survives `if np.dtype(dtype).kind == 'c': ...` becomes `if True: ...`
    survives `np.dtype(dtype).kind == 'c'` becomes `np.dtype(dtype).kind != 'c'`
    killed `ulps * ulp(exact, dtype)` becomes `ulps + ulp(exact, dtype)`
    """
    function = getattr(function, "py_func", function)
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    definition = tree.body[0]
    definition.decorator_list, definition.returns = [], None
    definition.args = ast.parse(f"def f{_bare(function)}: 0").body[0].args
    for position, node in enumerate(ast.walk(tree)):
        for fault in range(len(_faults(node))):
            faulty = copy.deepcopy(tree)
            place = list(ast.walk(faulty))[position]
            before = ast.unparse(place)
            _faults(place)[fault]()
            after = ast.unparse(place)
            if after != before:
                text = f"line {node.lineno}: {_short(before)} becomes {_short(after)}"
                yield text, _compiled(faulty, function)


def _faults(node):
    """Functions that each put one fault into the node."""
    faults = []
    if isinstance(node, ast.Compare):
        swaps = [(i, _SWAPS[type(op)]()) for i, op in enumerate(node.ops) if type(op) in _SWAPS]
        faults += [_setter(node.ops, i, op) for i, op in swaps]
    elif type(getattr(node, "op", None)) in _SWAPS:
        faults.append(lambda: vars(node).update(op=_SWAPS[type(node.op)]()))
    if isinstance(node, ast.BinOp) and isinstance(node.op, _ORDERED):
        faults.append(lambda: vars(node).update(left=node.right, right=node.left))
    if isinstance(node, (ast.If, ast.IfExp)):
        faults.append(lambda: vars(node).update(test=ast.Constant(True)))
    if isinstance(node, ast.Constant) and type(node.value) is int:
        faults.append(lambda: vars(node).update(value=node.value + 1))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        faults.append(lambda: vars(node).update(value=ast.Constant(None)))
    return faults


def _bare(function):
    """Signature without annotations and defaults: those of the function are kept as they are."""
    signature = inspect.signature(function)
    empty = inspect.Parameter.empty
    return signature.replace(
        parameters=[p.replace(annotation=empty, default=empty) for p in signature.parameters.values()],
        return_annotation=empty,
    )


def _setter(items, index, value):
    return lambda: items.__setitem__(index, value)


def _short(text):
    first, *rest = text.splitlines()
    return f"`{first} ...`" if rest else f"`{first}`"


def _compiled(tree, function):
    """Compile a changed tree, with the globals of the original and its closure as globals."""
    ast.fix_missing_locations(tree)
    module = compile(tree, inspect.getsourcefile(function), "exec")
    scope = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    code = next(const for const in module.co_consts if isinstance(const, types.CodeType))
    mutant = types.FunctionType(code, scope, function.__name__, function.__defaults__)
    mutant.__kwdefaults__ = function.__kwdefaults__
    return mutant
