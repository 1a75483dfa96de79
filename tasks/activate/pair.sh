eval "$(python "$PIXI_PROJECT_ROOT/tasks/activate/pair.py" sh)"
