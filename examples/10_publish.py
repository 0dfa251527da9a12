"""Publish a fine-tuned model or adapter on the Hub, and use it by its name.

    python examples/10_publish.py finetuned me/my-model
    python examples/10_publish.py finetuned me/my-model --upload
    python examples/10_publish.py adapter me/my-adapter --base-model me/the-model-it-was-trained-on

The first shows what would be uploaded: the directory is loaded in fresh processes, with and without the package, and
its files are listed. The second needs `hf auth login`. `vqdna publish` is the same as a command. A directory without a
model card gets one; `vqdna card` writes it for you to edit before. An adapter needs its base on the Hub, too.

Trains: nothing. On: what examples 04 to 06 write. Takes: a minute on one CPU core.
"""

import argparse

from transformers import pipeline

import vqdna_hf  # noqa: F401  registers the classes, so that no remote code is needed
from vqdna_hf.arguments.publishing import PublishArguments
from vqdna_hf.hub.publish import publish


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("directory", help="directory of a fine-tuned model or adapter")
parser.add_argument("repo_id", help="repository to upload to: owner/name")
parser.add_argument("--base-model", help="repository of the model that an adapter was trained on")
parser.add_argument("--private", action="store_true", help="make the repository private")
parser.add_argument("--upload", action="store_true", help="upload, and do not only show what would be")
args = parser.parse_args()

options = {"base_model": args.base_model, "private": args.private, "dry_run": not args.upload}
try:
    result = publish(PublishArguments(directory=args.directory, repo_id=args.repo_id, **options))
except ValueError as error:  # what cannot be published, and what to do about it
    parser.error(str(error))
if args.upload:
    # a commit, unlike a branch, never changes; without the package: trust_remote_code=True
    classifier = pipeline("text-classification", model=args.repo_id, revision=result["commit"])
    print(classifier("ACGTTATAAAGGCACGTACGGAT"))
