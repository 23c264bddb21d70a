"""The 2014 Higgs Boson Machine Learning Challenge (HiggsML): H -> tau tau against its backgrounds."""
