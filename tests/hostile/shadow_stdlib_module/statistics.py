def mean(values):
    return 0.0


fmean = median = mean
