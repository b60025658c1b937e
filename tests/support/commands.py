"""Every command of an operator that reads its table, with words that make it do so."""

COMMANDS = {
    "capacity": (),
    "delete": ("--name", "*", "--yes"),
    "drop": ("--yes",),
    "export": (),
    "failures": (),
    "hold": ("--name", "*"),
    "items": (),
    "jobs": (),
    "logs": ("item",),
    "release": ("--name", "*"),
    "restart": ("--name", "*"),
    "samples": (),
    "show": ("item",),
    "status": (),
    "submit": ("--queue", "q", "--job-definition", "d", "--dry-run"),
    "unhold": ("--name", "*"),
}
