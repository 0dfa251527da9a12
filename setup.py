"""Metadata and the place of each package; the settings of the tools are in `pyproject.toml`."""

import re
from pathlib import Path

from setuptools import find_packages, setup


ROOT = Path(__file__).resolve().parent
REPOSITORY = "https://github.com/vqdna-hf/vqdna_hf"

# each lower bound is an existing version; `make test-min` runs the tests with all of them at once
# older transformers and peft load an adapter directory without its head, and say so in a table of the log at most;
# the `add_adapter` of transformers 5.24 refuses every release of peft that there is (it asks for 0.22)
DEPENDENCIES = [
    "accelerate>=1.3",
    "datasets>=4.0",
    "dnaio>=1.2",
    "evaluate>=0.4.6",
    "filelock>=3.13.1",
    "huggingface-hub>=1.31",
    "numpy>=1.26",
    "pandas>=2.1",
    "peft>=0.20",
    "pyarrow>=15.0",
    "pyyaml>=6.0.1",
    "safetensors>=0.8",
    "scikit-learn>=1.4",
    "scipy>=1.11.1",
    "tokenizers>=0.23.1",
    "torch>=2.6",
    "tqdm>=4.66.3",
    "transformers>=5.18,!=5.24.*,<6",
]

EXTRAS = {
    "viz": ["jinja2>=3.1", "matplotlib>=3.8", "umap-learn>=0.5.6"],
    "onnx": ["onnx>=1.17", "onnxruntime>=1.20", "onnxscript>=0.7", "torch>=2.8"],
    "dev": [
        "build>=1.2",
        "einops>=0.8",
        "jinja2>=3.1",
        "matplotlib>=3.8",
        "onnx>=1.17",
        "onnxruntime>=1.20",
        "onnxscript>=0.7",
        "pre-commit>=4.0",
        "pytest>=8.3",
        "pytest-xdist>=3.6",
        "ruff>=0.12",
        "setuptools>=77",
        "typos>=1.30",
        "umap-learn>=0.5.6",
        "vector-quantize-pytorch>=1.20",
    ],
}
# the lower bounds themselves; torch is installed first, from wherever TORCH in the Makefile says
EXTRAS["min"] = [
    re.sub(r">=([^,]+).*", r"==\1", needed)
    for needed in DEPENDENCIES + EXTRAS["onnx"]
    if not needed.startswith("torch>")
]


def read_version() -> str:
    """Read `__version__ = "..."` as text: importing the package would need its dependencies."""
    path = ROOT / "vqdna_hf" / "version.py"
    match = re.search(r'^__version__ = "([^"]+)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise RuntimeError(f'{path} has no line `__version__ = "..."`; setup.py reads the version there.')
    return match.group(1)


setup(
    name="vqdna-hf",
    version=read_version(),
    description="VQDNA: a learned genome vocabulary, native to the Hugging Face libraries",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The vqdna_hf contributors",
    url=REPOSITORY,
    project_urls={
        "Source": REPOSITORY,
        "Issues": f"{REPOSITORY}/issues",
        "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
        "Paper": "https://arxiv.org/abs/2405.10812",
    },
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["genomics", "DNA", "tokenizer", "vector quantization", "transformers"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Bio-Informatics",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    install_requires=DEPENDENCIES,
    extras_require=EXTRAS,
    # subtle: the signpost `vqdna_hf/modeling/` is for a checkout; the top-level `modeling/` is installed in its place
    packages=[
        *find_packages(include=["vqdna_hf", "vqdna_hf.*"], exclude=["vqdna_hf.modeling"]),
        "vqdna_hf.modeling",
    ],
    package_dir={"vqdna_hf.modeling": "modeling"},
    # templates, tables, checkpoints, and the `evaluate` module, which is a folder of files and no package
    package_data={
        "vqdna_hf": [
            "py.typed",
            "**/*.csv",
            "**/*.j2",
            "**/*.json",
            "**/*.md",
            "**/*.safetensors",
            "**/*.tsv",
            "**/*.txt",
            "metrics/gue/*",
        ]
    },
    include_package_data=False,
    zip_safe=False,
    entry_points={"console_scripts": ["vqdna = vqdna_hf.cli:main"]},
)
