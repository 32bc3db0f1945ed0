"""What a user may write: pydantic models by section, presets, and what each stage depends on."""
