import known


class Classifier(known.Zeros):
    def fit(self, X, y):
        for step in range(101):
            print(f"\r{step} %", end="", flush=True)
