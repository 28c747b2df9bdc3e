"""What relay tests are made of: numbered packets, a scripted upstream, clients that behave well or badly."""
