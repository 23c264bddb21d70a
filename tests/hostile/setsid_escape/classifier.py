import subprocess
import sys

import known

CODE = "import sys, time; time.sleep(25)"


class Classifier(known.Zeros):
    def fit(self, X, y):
        subprocess.Popen(
            [sys.executable, "-c", CODE, known.fact("marker")], stdout=-3, stderr=-3, start_new_session=True
        )
