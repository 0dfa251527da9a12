"""The tasks of the pipelines' common tests: the source distribution holds none of the classes that those run.

A class makes the pipeline and the examples of its task, and says what is right of the answers.
"""

from transformers import Pipeline, pipeline


DNA = "ACGTTGCAAC"


class TaskTests:
    """The two methods that the mixin calls; a subclass names the task."""

    task: str
    examples = [DNA, DNA[::-1] + DNA]

    def get_test_pipeline(self, model, tokenizer, dtype: str) -> tuple[Pipeline, list[str]]:
        return pipeline(self.task, model=model, tokenizer=tokenizer, dtype=dtype), self.examples

    def run_pipeline_test(self, pipe: Pipeline, examples: list[str]):
        for text, answer in zip(examples, pipe(examples), strict=True):
            self.check(text, answer)

    def check(self, text: str, answer):
        raise NotImplementedError


class FeatureExtraction(TaskTests):
    task = "feature-extraction"

    def check(self, text, answer):
        assert len(answer[0]) == len(text)


class FillMask(TaskTests):
    task = "fill-mask"
    examples = ["ACG[MASK]TGCA", "[MASK]" + DNA]

    def check(self, text, answer):
        assert sorted(row["sequence"] for row in answer) == sorted(text.replace("[MASK]", base) for base in "ACGT")
        assert abs(sum(row["score"] for row in answer) - 1) < 1e-2  # of 16 bits


class TextClassification(TaskTests):
    task = "text-classification"

    def check(self, text, answer):
        assert answer["label"] in ("LABEL_0", "LABEL_1") and 0.5 <= answer["score"] <= 1


class TokenClassification(TaskTests):
    task = "token-classification"

    def check(self, text, answer):
        assert [row["index"] for row in answer] == list(range(1, len(text) + 1))  # [CLS] is 0
