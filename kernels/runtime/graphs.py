"""Graphs: work recorded once, launched as one. (draft)"""

recording = False
