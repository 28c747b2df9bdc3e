"""How clients find the tuners by themselves: HDHomeRun's own discovery (UDP 65001) and SSDP. Off as shipped.

packets    HDHomeRun's packets, pure        messages   SSDP's, pure
hdhomerun  answers on UDP and TCP           ssdp       answers, and tells the network now and then
announcer  starts and ends what is switched on, on threads of the keeper
"""
