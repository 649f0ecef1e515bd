"""Stage 7, report: one page that shows what the model has learned, and its plots."""

from charrnn.messages import counted
from charrnn.storage.files import atomic_write, require_writable
from report.page import PLOTS, report
from report.subject import load
from stages.common import flags
from stages.common.program import run
from stages.common.trained import load_trained, require_same_data

PARAMS = ("start_string", "seed")


def main() -> None:
    args = flags.parser(__doc__, PARAMS, seed="seed of the samples").parse_args()
    params = flags.values(args, PARAMS)
    paths = flags.paths(args)
    page, plots = paths.metrics_dir / "report.html", {name: paths.plots / f"{name}.svg" for name in PLOTS}
    for path in (page, *plots.values()):
        require_writable(path)  # fail now rather than after the work

    trained = load_trained(paths)
    require_same_data(trained, paths)
    made = report(load(trained, paths), **params)

    contents = {page: made.page.encode()} | {plots[name]: plot.file() for name, plot in made.plots.items()}
    for path, content in contents.items():
        with atomic_write(path) as file:
            file.write(content)
    print(f"{page}: {counted(len(contents[page]), 'byte')}; open it in a browser")


if __name__ == "__main__":
    run(main)
