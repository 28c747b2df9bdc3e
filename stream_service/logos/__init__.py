"""Logos: fetched, proven, drawn anew as small PNGs, kept by content.

wanting   a build names the addresses it met, and takes what is there already (`shelf`)
fetching  the keeper fetches what is missing, a few at a time, slow hosts aside (`fetching`)
drawing   every picture is decoded and drawn anew in a child with limits, never in a process of ours (`drawing`)
"""
