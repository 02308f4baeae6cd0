"""`python -m exr_inspector`: the same program as the command `exr-inspector`."""

from exr_inspector.cli.main import main

raise SystemExit(main())
