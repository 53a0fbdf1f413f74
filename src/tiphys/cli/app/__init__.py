"""`tiphys app`: Applications. One module per verb; `show` and `follow` have what several of them print and wait for."""
