"""Both services as one: starting the pair (`python -m pair run`) and showing it (`python -m pair demo`).

What lives here: the command line, the demo's own little provider (guide, playlist, logos, looping test pictures) and
what it shows. Nothing of the services themselves; they are started as programs and spoken to over HTTP, as anyone
would.
"""
