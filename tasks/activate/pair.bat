@for /f "delims=" %%L in ('python "%PIXI_PROJECT_ROOT%\tasks\activate\pair.py" bat') do @%%L
