"""All mutants, file by file, and all that is odd and allowed."""

from . import addresses, answers, checks, deletes, namespaces, native, odd, ports, requests, results
from .mutant import Mutant, Odd

_FILES = (requests, answers, results, namespaces, addresses, deletes, checks, ports, native)
# file -> its mutants
GROUPS: dict[str, list[Mutant]] = {
    module.__name__.rpartition(".")[2]: [item for item in vars(module).values() if isinstance(item, Mutant)]
    for module in _FILES
}
MUTANTS: list[Mutant] = [mutant for group in GROUPS.values() for mutant in group]
ODD: list[Odd] = [item for item in vars(odd).values() if isinstance(item, Odd)]


def one_for_each_check() -> list[Mutant]:
    """For each check that must catch something, the first mutant that it must catch."""
    chosen: list[Mutant] = []
    for mutant in MUTANTS:
        if not {check for each in chosen for check in each.caught_by}.issuperset(mutant.caught_by):
            chosen.append(mutant)
    return chosen
