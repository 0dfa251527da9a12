"""What a user of genomes on the Hub does, in a process of its own: takes arguments of each step, prints JSON.

`python genomes_client.py '{"name": {"source": ..., "take": 3}}'` prints, by name, the records and the report of
`multi_species_genomes`, or the class and message of the error.
"""

import json
import logging
import sys

from vqdna_hf.tasks.species import genome_files as multi_species_files
from vqdna_hf.tasks.species import multi_species_genomes


multi_species_files._WAITS = (0.01, 0.01, 0.01)


def step(take: int | None = None, **arguments) -> dict:
    dataset = multi_species_genomes(**arguments)
    records = list(dataset if take is None else dataset.take(take))
    return {"records": records, "report": json.loads(dataset.info.description)}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    results = {}
    for name, arguments in json.loads(sys.argv[1]).items():
        try:
            results[name] = step(**arguments)
        except Exception as error:
            results[name] = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(results))
