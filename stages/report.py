"""Stage 7, report: one page that shows what the model has learned, and its plots."""

from charrnn.messages import counted
from charrnn.storage.files import atomic_write
from report.page import PLOTS, report
from report.subject import load
from stages.common import flags
from stages.common.lock import sole_writer
from stages.common.program import run
from stages.common.trained import load_trained, read_same_text

PARAMS = ("start_string", "seed")
PATHS = ("data_dir", "model_dir", "model_filename", "weights_path", "metrics_dir")


def main() -> None:
    args = flags.parser(__doc__, PARAMS, PATHS, seed="seed of the samples").parse_args()
    params = flags.values(args, PARAMS)
    paths = flags.paths(args)
    page, plots = paths.metrics_dir / "report.html", {name: paths.plots / f"{name}.svg" for name in PLOTS}

    with sole_writer(page, *plots.values()):
        trained = load_trained(paths)
        made = report(load(trained, read_same_text(trained, paths), paths), **params)
        contents = {page: made.page.encode()} | {plots[name]: plot for name, plot in made.plots.items()}
        for path, content in contents.items():
            with atomic_write(path) as file:
                file.write(content)
    print(f"{page}: {counted(len(contents[page]), 'byte')}; open it in a browser")


if __name__ == "__main__":
    run(main)
