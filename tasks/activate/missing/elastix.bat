@echo the elastix executable of %ELASTIX_PAIR% is not fetched; run: pixi run fetch %ELASTIX_PAIR% 1>&2
@exit /b 2
