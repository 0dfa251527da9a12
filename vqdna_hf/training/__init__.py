"""The three stages: vocabulary learning, masked pre-training, and adaptation to tasks."""
