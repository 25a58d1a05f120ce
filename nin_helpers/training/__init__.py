"""Training: what a run depends on (`config`), the loop (`loop`), and what surrounds a step.

`step` takes one; `fallback` finds another way where one fails; `history` measures; `evaluation` says what is right;
`checkpoints` let a run that was killed go on; `distributed` is several processes; `tensorboard` writes
curves; `outputs` are the files of a run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkpoints": ["CheckpointError", "find_checkpoints", "load_checkpoint", "save_checkpoint"],
        "config": ["PROFILES", "RECIPES", "TrainConfig", "default_profile", "make_config"],
        "distributed": ["ProcessGroup", "end_process_group"],
        "evaluation": ["accuracy", "dead_classes", "evaluate", "is_plateau", "predict"],
        "fallback": ["compiled"],
        "history": ["StuckWarning", "describe_progress"],
        "loop": ["train"],
        "outputs": ["RunFiles"],
        "step": ["TrainStep", "make_optimizer", "shuffled_batches"],
    },
)
