"""Downstream tasks: the paper's catalogue, task files, splits, audits."""

from .catalogue import Species, Task, get_task, list_species, list_tasks
from .load import TaskDataError, TaskInfo, load_task_files
from .load_catalogue import load_task


__all__ = [
    "Species",
    "Task",
    "TaskDataError",
    "TaskInfo",
    "get_task",
    "list_species",
    "list_tasks",
    "load_task",
    "load_task_files",
]
