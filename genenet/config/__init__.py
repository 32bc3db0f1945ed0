"""The config: pydantic models by section, presets, and the settings that each stage depends on."""
