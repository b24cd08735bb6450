"""vpn: virtual networks between people, as IPOP had them: the packet path, the TinCan module, its controllers.

Linux only, and root or CAP_NET_ADMIN for the tap. Only the commands of this
room import it. Who wants a link of packets goes through the module
(`tincan.vpn.module`), which drives the packet path (`tincan.vpn.path`);
GroupVPN (`tincan.vpn.group`) and SocialVPN (`tincan.vpn.social`) are two
controllers of it.
"""
