"""The guide service, asked: what we tell it, what we copy from it, what it tells about programmes.

link      our lineups to it, its guides of them to us; in step by digests (`link`)
panels    a panel's guide is a provider there: told, taken back, refreshed with its source (`panels`)
listings  what runs on a channel, for apps that ask us; kept for a minute (`listings`)
records   programmes as rules see them, for trying rules (`records`)
asking    the way out that all four take (`asking`)

It may be away at any time, and nothing of ours stops for that.
"""
