"""The contestants that Darkroom is compared with. What runs in their workers imports nothing of Darkroom's."""
