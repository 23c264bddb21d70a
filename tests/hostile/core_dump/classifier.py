import os
import resource

import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
        known.did("allow core files")
        os.abort()
