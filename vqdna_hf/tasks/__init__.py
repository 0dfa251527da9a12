"""Downstream tasks: the paper's catalogue, task files, splits, audits."""

from .catalogue import Species, Task, get_task, list_species, list_tasks
from .load import TaskInfo, load_task, load_task_files
from .split_files import TaskDataError


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
