"""The 2016 RAMP on detector anomalies: tell events of a miscalibrated ATLAS detector from good ones."""
