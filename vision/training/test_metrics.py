"""python3 -m unittest: needs numpy only."""

import math
import os
import tempfile
import unittest

import numpy as np

import data
import metrics


class Metrics(unittest.TestCase):
    def test_roc_auc(self):
        for positive, negative, want in (
            ([2, 3], [0, 1], 1.0),
            ([0, 1], [2, 3], 0.0),
            ([1, 1], [1, 1], 0.5),
            ([0.2, 0.8], [0.5], 0.5),
            ([0.5, 0.9], [0.5, 0.1], 0.875),
        ):
            self.assertEqual(metrics.roc_auc(positive, negative), want, (positive, negative))
        self.assertTrue(math.isnan(metrics.roc_auc([], [1])))

    def test_average_precision(self):
        self.assertEqual(metrics.average_precision([3, 2], [1]), 1.0)
        self.assertAlmostEqual(metrics.average_precision([3, 1], [2]), 0.5 + 0.5 * 2 / 3)
        self.assertAlmostEqual(metrics.average_precision([1, 1], [1, 1]), 0.5)

    def test_recall_at(self):
        negative = np.arange(100)
        self.assertEqual(metrics.recall_at([98.5, 99.5], negative, 0.01), 1.0)
        self.assertEqual(metrics.recall_at([98, 99.5], negative, 0.01), 0.5)
        self.assertEqual(metrics.recall_at([94.5, 93], negative, 0.05), 0.5)

    def test_boxes_touch_by_corners_and_need_a_seed(self):
        heat = np.zeros((4, 4))
        heat[0, 0], heat[1, 1], heat[3, 3] = 0.9, 0.4, 0.4
        self.assertEqual(metrics.boxes_of(heat, 0.5, 0.3), [(0, 0, 0.5, 0.5)])
        self.assertEqual(metrics.boxes_of(heat, 0.5, 0.3, min_cells=3), [])
        self.assertEqual(len(metrics.boxes_of(heat, 0.3, 0.3)), 2)

    def test_boxes_split_at_a_low_saddle_and_leave_the_rim(self):
        heat = np.array([[0.9, 0.5, 0.7, 0.4]])
        self.assertEqual(metrics.boxes_of(heat, 0.6, 0.3), [(0, 0, 1, 1)])
        self.assertEqual(metrics.boxes_of(heat, 0.6, 0.3, saddle=0.9), [(0, 0, 0.5, 1), (0.5, 0, 1, 1)])
        self.assertEqual(metrics.boxes_of(heat, 0.6, 0.3, saddle=0.9, edge=0.6), [(0, 0, 0.25, 1), (0.5, 0, 0.75, 1)])

    def test_box_recall(self):
        self.assertAlmostEqual(metrics.iou((0, 0, 2, 1), (1, 0, 3, 1)), 1 / 3)
        self.assertEqual(metrics.iou((0, 0, 1, 1), (1, 0, 2, 1)), 0)
        self.assertEqual(metrics.box_recall([(1, 0, 3, 1)], [(0, 0, 2, 1), (5, 5, 6, 6)]), (1, 2))


class Labels(unittest.TestCase):
    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.txt")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            return data.read_boxes(path)

    def test_boxes_are_cut_at_the_edge(self):
        np.testing.assert_allclose(self.read("1 0.1 0.5 0.4 0.2\n\n"), [[1, 0, 0.4, 0.3, 0.6]], atol=1e-6)
        self.assertEqual(self.read("").shape, (0, 5))

    def test_faults_name_the_line(self):
        for text in ("0 0.5 0.5 0.1 0.1\n2 0.5 0.5 0.1 0.1", "\n0 0.5 0.5"):
            with self.assertRaisesRegex(ValueError, "a.txt:2"):
                self.read(text)


if __name__ == "__main__":
    unittest.main()
