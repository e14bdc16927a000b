"""The documents of contracts: read strictly, and held against each other."""

from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError
from etl_assets.core.inputs.contract import Contract


def parse_contract(text: str, source: str) -> Contract:
    """Return the contract of a YAML document.

    Args:
        text: The document.
        source: Names it in errors, usually its file name.

    Raises:
        DocumentError: Naming line and field of everything that is wrong.
    """
    document = Document(text, source)
    return document.validate(Contract, document.data)


def index_contracts(contracts: list[tuple[str, Contract]]) -> dict[str, Contract]:
    """Return contracts by source, from pairs of document name and contract.

    Raises:
        DocumentError: When two name one source or one table.
    """
    found: dict[str, Contract] = {}
    for source, contract in contracts:
        for other in found.values():
            if contract.table == other.table:
                problem = f"the contract of {other.source} has the table `{contract.table}`, too"
                raise DocumentError(source, [problem])
        if contract.source in found:
            raise DocumentError(source, [f"another contract has the source `{contract.source}`"])
        found[contract.source] = contract
    return found
